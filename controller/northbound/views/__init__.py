"""What the API gives: values as JSON, and the OpenAPI document that describes it."""
