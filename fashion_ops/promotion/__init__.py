"""Which version serves: the shard it is judged on, the gate, the moves of the aliases, the page."""
