#pragma once

#include "ncn/v2/p2p_registry.pb.h"

namespace ncn::reference {

// What a registry can say of a request and of an answer by itself: whether they have their form,
// and whether what is signed was signed. It runs nothing, asks no chain, and signs no verdict.
// Thread-safe.
v2::ValidationVerdict ValidateRequest(const v2::RequestPreprocessingValidationRequest& request);
v2::ValidationVerdict ValidateCompletion(v2::RequestCompletionValidationRequest&& request);

}  // namespace ncn::reference
