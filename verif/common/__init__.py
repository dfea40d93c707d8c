"""What the benches share: simulation runner, stream agents, scoreboard, packing, golden models."""
