// Philox4x64-10 (Salmon et al. 2011), the same bits as numpy.random.Philox: its counter is raised before it is used,
// a 64-bit word yields its low half first, and a half yields the float32 (half >> 8) / 2^24.
typedef unsigned long long u64;


// Runs of elements of a larger array, one behind the other in `out`. starts (runs,): where each begins there. A thread
// makes a block of eight elements and writes those that lie in its run; blocks_of_run are enough for any start.
extern "C" __global__ void uniform(u64 key0, u64 key1, u64 site, u64 microbatch, u64 step, const long long* starts,
                                   long long runs, long long run, long long blocks_of_run, float* out) {
    long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (thread >= runs * blocks_of_run) return;
    long long start = starts[thread / blocks_of_run], block = start / 8 + thread % blocks_of_run;
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
    out += thread / blocks_of_run * run;
    for (int i = 0; i < 8; ++i) {
        long long element = block * 8 + i - start;
        if (element < 0 || element >= run) continue;
        unsigned int half = (unsigned int)(words[i / 2] >> (32 * (i % 2)));
        out[element] = (half >> 8) * (1.0f / 16777216.0f);
    }
}
