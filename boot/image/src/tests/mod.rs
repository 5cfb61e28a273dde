//! Synthetic kernels, whole and damaged.

mod build;
mod damage;
mod images;
mod layouts;
mod packed;
mod xz;
