"""The protocols, pure: tables of states and messages, and the records of one party."""
