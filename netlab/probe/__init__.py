"""What is asked of the kernel: expectations, the engines that probe them, and the verdicts."""
