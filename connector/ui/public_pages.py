"""The public catalog for people: the HTML behind `connector.http.catalog`."""

from catalog.model import Catalog, Dataset, page_key
from connector.ui.rendering import PageRenderer
from connector.ui.terms import term_groups


class PublicPages:
    """Shows a participant's catalog to anybody; implements `connector.http.catalog.CatalogPages`."""

    def __init__(self, renderer: PageRenderer) -> None:
        """Use a renderer.

        Args:
            renderer: Fills in the templates.
        """
        self._renderer = renderer

    def catalog_page(self, catalog: Catalog, language: str) -> str:
        """The page of the whole catalog.

        Args:
            catalog: The catalog; withdrawn datasets are left out.
            language: `de` or `en`.
        """
        return self._render("public_catalog.html", catalog, language)

    def dataset_page(self, dataset: Dataset, catalog: Catalog, language: str) -> str:
        """The page of one dataset with its terms and who makes each of them hold.

        Args:
            dataset: The dataset.
            catalog: The catalog that offers it.
            language: `de` or `en`.
        """
        terms = term_groups(dataset.offer.policy)
        return self._render("public_dataset.html", catalog, language, dataset=dataset, terms=terms)

    def _render(self, template: str, catalog: Catalog, language: str, **values: object) -> str:
        return self._renderer.render(
            template,
            language,
            catalog=catalog,
            owner=catalog.title,
            home="/catalog.html",
            here="",
            key=page_key,
            **values,
        )
