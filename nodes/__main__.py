"""`python -m nodes` is the `concord` program."""

from nodes.admin.main import main

if __name__ == "__main__":
    main()
