"""Loading a trained model from one file or folder, and predicting with it, without Lightning or torchmetrics."""
