"""Airflow provider for ASAPP: deliver metadata about conversations, agents and customers."""
