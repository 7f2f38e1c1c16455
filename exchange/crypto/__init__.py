"""Cryptography of Concord; the only package that imports `cryptography` and `nacl`.

Pure: keys, contexts and times are arguments, and randomness comes from `random.py` or from the libraries themselves.
Every function that checks something returns the checked value or raises.

===========  ==================================================================
file         what
===========  ==================================================================
random       random bytes, tokens, comparison in constant time
keys         public keys, their ids, their admission, fingerprints
parsed       public keys as objects of the libraries, cached
signing      secret signing keys; composite ML-DSA-65 + Ed25519, and Ed25519
dsse         the encoding that is signed
signed       signed statements, alone or in batches
codec        signed statements as bytes
xwing        wrapping a report's key for one recipient
chunked      sealing a body
padme        hiding a body's length
atrest       sealing what a node stores
keystore     secret keys in a file, under a passphrase
x509         certificates for TLS, and for nothing else
===========  ==================================================================
"""
