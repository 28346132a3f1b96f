"""Parts that networks are made of; these modules import torch."""
