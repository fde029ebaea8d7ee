"""The page of an output folder: one self-contained file, or the same served while a sweep runs.

What a chart shows comes from `results.charts`, which the figures of `results.figures` draw for a paper. Everything that
comes from a file is escaped: by the template in HTML, as JSON in data blocks, and as text nodes in the page's script.
"""
