"""Models on images of other sites and scanners, real and simulated."""
