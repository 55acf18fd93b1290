// What a router makes of the logit of an expert: RouterScore of src/kernels/router.h, by its numbers.
#ifndef VKMOE_SHADERS_ROUTING_SCORE_GLSL
#define VKMOE_SHADERS_ROUTING_SCORE_GLSL

const uint kScoreSoftmax = 0u;
const uint kScoreSoftmaxOfChosen = 1u;
const uint kScoreSigmoid = 2u;
const uint kScoreSqrtSoftplus = 3u;
const uint kScoreSparseMixer = 4u;

/// 1 / (1 + exp(-x)), by the exponential that cannot overflow.
float sigmoid(float x) {
    float e = exp(-abs(x));
    return (x >= 0.0 ? 1.0 : e) / (1.0 + e);
}

/// sqrt(log(1 + exp(x))). log(1 + e) for 0 <= e <= 1 is 2 atanh(e / (2 + e)) by its series, for log() is coarse near 1;
/// far below 0 log(1 + e) is e, whose root does not underflow when it is taken in the exponent.
float sqrt_softplus(float x) {
    if (x < -16.0) return exp(0.5 * x);
    float e = exp(-abs(x));
    float t = e / (2.0 + e);
    float t2 = t * t;
    float series = 1.0 / 13.0;
    series = series * t2 + 1.0 / 11.0;
    series = series * t2 + 1.0 / 9.0;
    series = series * t2 + 1.0 / 7.0;
    series = series * t2 + 1.0 / 5.0;
    series = series * t2 + 1.0 / 3.0;
    series = series * t2 + 1.0;
    return sqrt(max(x, 0.0) + 2.0 * t * series);
}

#endif
