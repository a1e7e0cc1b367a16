"""Files that survive bad days: written whole or not at all, and known by their sums."""

from scratchgrad.files.atomic import atomic_directory, atomic_file, atomic_files, remove
from scratchgrad.files.faults import machine_fault
from scratchgrad.files.json_files import read_json, write_json
from scratchgrad.files.manifest import DamagedFiles, sha256_of, verify_manifest, write_manifest
from scratchgrad.files.saving import load, save
from scratchgrad.files.sums import KnownSums
from scratchgrad.files.tensors import map_tensors, write_tensors

__all__ = [
    "DamagedFiles", "KnownSums", "atomic_directory", "atomic_file", "atomic_files", "load", "machine_fault",
    "map_tensors", "read_json", "remove", "save", "sha256_of", "verify_manifest", "write_json", "write_manifest",
    "write_tensors",
]  # fmt: skip
