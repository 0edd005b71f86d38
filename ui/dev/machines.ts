import type { Hardware } from '../src/bindings/Hardware';
import type { ModelInfo } from '../src/bindings/ModelInfo';

export const GIB = 1024 ** 3;
export const MIB = 1024 ** 2;

export const plainHardware: Hardware = {
  cpu: 'AMD Ryzen 7 5800X 8-Core Processor',
  physical_cores: 8,
  logical_cores: 16,
  cpu_features: ['AVX2', 'FMA', 'F16C'],
  kernels: 'AVX2',
  ram_total: 23.4 * GIB,
  ram_available: 19.1 * GIB,
  gpus: [],
  gpu_note: 'No NVIDIA driver was found, so everything runs on the processor.',
};

export const gpuHardware: Hardware = {
  ...plainHardware,
  ram_total: 94.1 * GIB,
  ram_available: 81.5 * GIB,
  gpus: [{ name: 'NVIDIA GeForce RTX 4070', vram_total: 12 * GIB, vram_free: 11.1 * GIB, driver: '575.57' }],
  gpu_note: '',
};

export const demoInfo: ModelInfo = {
  name: 'Moestro Demo',
  path: '/usr/lib/Moestro/models/demo/moestro-demo.gguf',
  source: 'gguf',
  architecture: 'qwen3_next',
  parameters: 18_432_512,
  file_bytes: 18.2 * MIB,
  layers: 8,
  moe_layers: 8,
  experts_per_layer: 32,
  experts_per_token: 4,
  expert_bytes: 49_152,
  vocabulary: 1024,
  max_context: 2048,
  formats: 'Q8_0 91%, F32 9%',
  skipped: [],
};

export const largeInfo: ModelInfo = {
  ...demoInfo,
  name: 'Qwen3-Next-80B-A3B-Instruct',
  path: '/home/ada/models/Qwen3-Next-80B-A3B-Instruct-Q4_K_M/Qwen3-Next-80B-A3B-Instruct-Q4_K_M-00001-of-00002.gguf',
  parameters: 79_700_000_000,
  file_bytes: 45.2 * GIB,
  layers: 48,
  moe_layers: 48,
  experts_per_layer: 512,
  experts_per_token: 10,
  expert_bytes: 1_769_472,
  vocabulary: 151_936,
  max_context: 262_144,
  formats: 'Q4_K 78%, Q6_K 21%, F32 1%',
  skipped: ['MTP block of layer 48'],
};
