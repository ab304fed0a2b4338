"""The network and its front end as torch modules."""
