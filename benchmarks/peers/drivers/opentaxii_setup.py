"""Make an API root and a public collection in the database that OPENTAXII_CONFIG names, and print the root's id.

Runs in the peers' environment. The program that OpenTAXII brings for this does not tell the id.
"""

from opentaxii.http import app


def main() -> None:
    """Make both."""
    with app.app_context():
        api = app.taxii_server.servers.taxii2.persistence.api
        root = api.add_api_root("Benchmark", is_public=True)
        api.add_collection(root.id, "Reports", alias="reports", is_public=True, is_public_write=True)
        print(root.id, flush=True)


if __name__ == "__main__":
    main()
