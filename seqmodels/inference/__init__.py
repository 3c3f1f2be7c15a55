"""Loading a trained model from one file or folder, and predicting with it; imports neither Lightning nor torchmetrics."""
