"""What is open, chosen and known, without a window: the predicted map, the services, the remembered choices."""
