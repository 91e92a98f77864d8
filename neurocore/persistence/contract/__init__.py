"""The contract of a store, a file for each role. `neurocore.persistence.base.RunStore` combines them."""
