"""Image search: the images nearest to a query."""
