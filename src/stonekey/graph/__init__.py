"""The network and its front end as one ONNX graph."""
