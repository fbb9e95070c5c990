"""The handlers, one module per subject. Each ends with its rows of the route table."""
