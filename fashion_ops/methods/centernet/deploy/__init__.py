"""CenterNet outside of torch: export, quantization, runtimes."""
