// Philox4x64-10 (Salmon et al. 2011), the same bits as numpy.random.Philox: its counter is raised before it is used,
// a 64-bit word yields its low half first, and a half yields the float32 (half >> 8) / 2^24.
typedef unsigned long long u64;

extern "C" __global__ void uniform(u64 key0, u64 key1, u64 site, u64 microbatch, u64 step, long long size, float* out) {
    long long block = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (block * 8 >= size) return;
    u64 c0 = block + 1, c1 = site, c2 = microbatch, c3 = step;
    for (int round = 0; round < 10; ++round) {
        u64 high0 = __umul64hi(0xD2E7470EE14C6C93ULL, c0), low0 = 0xD2E7470EE14C6C93ULL * c0;
        u64 high1 = __umul64hi(0xCA5A826395121157ULL, c2), low1 = 0xCA5A826395121157ULL * c2;
        c0 = high1 ^ c1 ^ key0;
        c1 = low1;
        c2 = high0 ^ c3 ^ key1;
        c3 = low0;
        key0 += 0x9E3779B97F4A7C15ULL;
        key1 += 0xBB67AE8584CAA73BULL;
    }
    u64 words[4] = {c0, c1, c2, c3};
    for (int i = 0; i < 8 && block * 8 + i < size; ++i) {
        unsigned int half = (unsigned int)(words[i / 2] >> (32 * (i % 2)));
        out[block * 8 + i] = (half >> 8) * (1.0f / 16777216.0f);
    }
}
