"""Files in and out: images, preprocessed cases, weights (layer 2). The only place that knows x-first order."""
