"""Recipes that train in seconds."""

from __future__ import annotations

TINY = """
name: tiny
label_name: brightness
label_unit: points
dataset: drawn squares
licence: none needed
prototype_images: value
start: subjects
calibrate_scale: true
input: {space: image, shape: [32, 32], spacing_mm: 1.0}
architecture: {dimensions: 2, widths: [8, 8], pool: 1, channels: 8, prototypes: 6, radius: 20.0}
warmup: {epochs: 4, learning_rate: 0.01}
schedule: {epochs: 4, batch: 8, views: 1, optimizer: adamw, decay: cosine, seed: 3}
losses: {metric: 1.0, sigma: 10.0, leak: 0.05, consistency: 1.0, prediction: 1.0}
projection: {epochs: [0], every: 2, window: 30.0, distinct: true, relabel: true}
"""
"""A recipe for `helpers.squares.draw_squares`, trained in seconds."""

VOLUMES = """
name: tiny-volumes
label_name: age
label_unit: years
dataset: synthetic ageing brains (expert.phantom)
licence: none needed
prototype_images: value
start: subjects
calibrate_scale: true
input: {space: mni, shape: [32, 40, 32], spacing_mm: 5.0, center_mm: [6.0, -18.0, 0.0]}
architecture: {dimensions: 3, widths: [8, 8], pool: 1, channels: 24, prototypes: 4, radius: 60.0, marginals: content}
warmup: {epochs: 15, learning_rate: 0.01}
schedule: {epochs: 16, batch: 7, views: 1, optimizer: adamw, decay: cosine, backbone_rate: 0.001, head_rate: 0.01, seed: 3}
losses: {metric: 1.0, sigma: 10.0, leak: 0.05, consistency: 0.0, prediction: 1.0, alignment: 6.0}
projection: {epochs: [0], every: 2, window: 40.0, distinct: true, relabel: true}
"""  # noqa: E501

TISSUE = """
name: tissue
label_unit: years
dataset: synthetic ageing brains (expert.phantom)
licence: none needed
prototype_images: value
start: subjects
calibrate_scale: true
input: {space: mni, shape: [32, 40, 32], spacing_mm: 5.0, center_mm: [6.0, -18.0, 0.0], intensity: white matter}
architecture:
  {dimensions: 3, backbone: histogram, bins: 12, widths: [16], pool: 8, channels: 8, prototypes: 4, radius: 30.0,
   marginals: content}
augmentation: {rotation_deg: 3.0, bias: 0.02, copies: 2}
warmup: {epochs: 60, learning_rate: 0.01}
schedule: {epochs: 3, batch: 7, views: 3, optimizer: adamw, decay: cosine, seed: 3}
losses: {metric: 1.0, sigma: 10.0, consistency: 0.0, prediction: 1.0, alignment: 1.0}
projection: {epochs: [0], every: 2, window: 40.0, distinct: true, relabel: true}
"""  # noqa: E501

PLANES = """
name: planes
dataset: synthetic
licence: none
start: subjects
calibrate_scale: true
prototype_images: value
input:
  intensity: white matter
  shape: [48, 40]
  spacing_mm: 4.0
  positions_mm: [-10.0, 30.0]
  training_positions_mm: [-10.0, 26.0, 30.0]
architecture: {backbone: histogram, widths: [8], pool: 8, channels: 6, bins: 12, guide: 5, planes: 2, prototypes: 4,
               radius: 20.0, weights: relative, regularization: 0.05, marginals: content}
augmentation: {copies: 2}
warmup: {epochs: 3, learning_rate: 0.01}
guide: {epochs: 2, batch: 4, views: 1}
schedule: {epochs: 3, batch: 6, views: 2, by_position: true, seed: 3}
losses: {own: false, consistency: 0.0, prediction: 1.0}
projection: {epochs: [0], every: 2, distinct: true, relabel: true}
"""  # noqa: E501
