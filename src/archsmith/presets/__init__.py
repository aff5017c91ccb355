"""Published architectures, and their shapes scaled down, one file per family; imports no torch.

Numbers are those of the published `config.json` files and papers, named in each file. Counts of
parameters match the published weights to the last one.
"""

from collections.abc import Callable

from archsmith.architecture.tree import Architecture
from archsmith.presets.llama import llama_3_2_1b as llama_3_2_1b
from archsmith.presets.llama import llama_3_2_3b as llama_3_2_3b
from archsmith.presets.mixtral import mixtral_8x7b as mixtral_8x7b
from archsmith.presets.olmoe import olmoe_1b_7b as olmoe_1b_7b
from archsmith.presets.phi import phi_1 as phi_1
from archsmith.presets.phi import phi_1_5 as phi_1_5
from archsmith.presets.phi import phi_1_small as phi_1_small
from archsmith.presets.phi import phi_2 as phi_2
from archsmith.presets.phi3 import phi_3_5_mini as phi_3_5_mini
from archsmith.presets.phi3 import phi_3_medium as phi_3_medium
from archsmith.presets.phi3 import phi_3_mini as phi_3_mini
from archsmith.presets.phi3 import phi_3_mini_128k as phi_3_mini_128k
from archsmith.presets.phi3 import phi_4 as phi_4
from archsmith.presets.phi3 import phi_4_mini as phi_4_mini
from archsmith.presets.phi3_small import phi_3_small as phi_3_small
from archsmith.presets.phi_moe import phi_3_5_moe as phi_3_5_moe
from archsmith.presets.qwen3 import qwen3_0_6b as qwen3_0_6b
from archsmith.presets.qwen3 import qwen3_30b_a3b as qwen3_30b_a3b
from archsmith.presets.scaled import scaled_llama as scaled_llama
from archsmith.presets.scaled import scaled_phi3 as scaled_phi3

# in the order in which a table shows them
PRESETS: dict[str, Callable[[], Architecture]] = {
    "phi_1_small": phi_1_small,
    "phi_1": phi_1,
    "phi_1_5": phi_1_5,
    "phi_2": phi_2,
    "phi_3_mini": phi_3_mini,
    "phi_3_mini_128k": phi_3_mini_128k,
    "phi_3_small": phi_3_small,
    "phi_3_medium": phi_3_medium,
    "phi_3_5_mini": phi_3_5_mini,
    "phi_3_5_moe": phi_3_5_moe,
    "phi_4": phi_4,
    "phi_4_mini": phi_4_mini,
    "llama_3_2_1b": llama_3_2_1b,
    "llama_3_2_3b": llama_3_2_3b,
    "qwen3_0_6b": qwen3_0_6b,
    "qwen3_30b_a3b": qwen3_30b_a3b,
    "olmoe_1b_7b": olmoe_1b_7b,
    "mixtral_8x7b": mixtral_8x7b,
}
