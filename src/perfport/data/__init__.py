"""The hall where measuring and learning meet: environments, measurements, datasets, tables, the store."""
