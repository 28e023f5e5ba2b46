"""How many replicas, decided purely; and the messages between the leader and the gateways."""
