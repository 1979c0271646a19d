"""The benches behind `fleetgauge bench`: each starts what it needs, measures, prints figures."""
