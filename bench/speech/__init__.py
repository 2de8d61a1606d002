"""Accuracy, CPU and delay of the embedded speech engines."""
