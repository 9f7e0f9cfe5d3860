"""The real trace that the demo feeds in; `README.md` beside it names its source and licence."""
