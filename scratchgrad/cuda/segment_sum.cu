// One thread adds up one column of one segment, from its first row to its last: the same bits on every run.
typedef long long i64;

template <typename T>
__device__ void segment_sum(const T* rows, const i64* starts, const i64* ends, i64 width, T* out, i64 size) {
    i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= size) return;
    i64 segment = at / width, column = at % width;
    T sum = 0;
    for (i64 row = starts[segment]; row < ends[segment]; ++row) sum += rows[row * width + column];
    out[at] = sum;
}

extern "C" __global__ void segment_sum_float32(
    const float* rows, const i64* starts, const i64* ends, i64 width, float* out, i64 size) {
    segment_sum(rows, starts, ends, width, out, size);
}

extern "C" __global__ void segment_sum_float64(
    const double* rows, const i64* starts, const i64* ends, i64 width, double* out, i64 size) {
    segment_sum(rows, starts, ends, width, out, size);
}
