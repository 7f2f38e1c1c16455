"""Markings of other rulebooks as fields of our label, and back: one short module a scheme. Values in, values out.

    tlp.to_label_fields(["TLP:AMBER"])      ->  {"tlp": "amber", "onward": "dependants"}
    tlp.from_label(label)                   ->  "TLP:AMBER+STRICT"

`to_label_fields` returns fields in the plain form that text.label_from_mapping reads; several partial results are put
together by together.together, the strictest winning. What is not marked gets the strictest, a word that is not known is
refused, and what only a person can settle is a Hold. `from_label` never says more than the label: it says something
stricter, or raises MarkNotCarried. Each module says which fields of a label its scheme speaks of; those that carry a
whole report out of the exchange (stix, cap, misp, siena) answer for every field, by carry.py.

=============  ==================================================================
module         scheme
=============  ==================================================================
tlp            Traffic Light Protocol 1 and 2
pap            Permissible Actions Protocol
iep            FIRST Information Exchange Policy 1 and 2
siena          handling codes H0 to H3 of Europol's SIENA
grading        Admiralty and 4x4 gradings, kept as given
rel_to         REL TO, NOFORN, EYES ONLY, ORCON, DISPLAY ONLY, third-party rule
stanag4774     confidentiality labels of STANAG 4774
acs            the United States' Access Control Specification, as MISP has it
stix           markings of a STIX 2.1 bundle
cap            scope, restriction and addresses of a CAP 1.2 alert
misp           distribution, sharing groups and tags of a MISP event
=============  ==================================================================

Specification: docs/spec/policy.md, "Mappings"; tables: docs/reference/mappings.md.
"""
