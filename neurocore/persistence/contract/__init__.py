"""The contract of a store, one file per role. `neurocore.persistence.base.RunStore` combines them."""
