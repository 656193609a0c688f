"""fashion-ops: train, judge and promote garment-landmark models."""
