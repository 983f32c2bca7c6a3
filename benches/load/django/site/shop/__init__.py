"""An ordinary small shop: what a request of a Django site costs, for the benchmarks."""
