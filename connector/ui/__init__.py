"""The web pages: the data steward's on the management listener, the catalog's on the public one."""
