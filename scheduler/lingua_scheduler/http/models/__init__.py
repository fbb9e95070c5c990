"""What the API takes and answers, as pydantic models; one module per subject. The document is made from these."""
