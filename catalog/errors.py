"""What can go wrong with a catalog, said in sentences."""


class CatalogError(Exception):
    """Base of every error of this package."""


class CatalogDocumentError(CatalogError):
    """A catalog received from another participant cannot be read."""


class CatalogContentError(CatalogError):
    """A catalog of our own holds a value that no DCAT document may carry."""


class SelectionError(CatalogError):
    """A request for a part of the catalog asks for something that we do not understand."""
