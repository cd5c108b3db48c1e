"""How an operation or a page is declared, the page shell and shared partials. Knows no component."""
