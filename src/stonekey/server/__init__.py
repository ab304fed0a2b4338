"""The page in the browser, and an HTTP API (extra ``server``)."""
