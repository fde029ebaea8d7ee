"""The numbers behind each chart, once: figures draw them for a paper, the page for a browser. Knows no matplotlib."""
