"""What follows the KMS: key rates asked for, and rates reserved there."""
