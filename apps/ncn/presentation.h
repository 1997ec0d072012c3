#pragma once

#include <string>

#include "inference/inference_response.h"

namespace ncn::apps {

// A result for people: tensors of an Open Inference Protocol answer with their labels, otherwise
// size and media type; then the time that each step took. Everything that comes from a model is
// made printable first.
std::string DescribeOutput(const inference::Payload& output);
std::string DescribeRecord(const inference::ExecutionRecord& record);

// The media type that goes with a file's extension; application/octet-stream when it is unknown.
std::string MediaTypeOf(const std::string& file_name);

}  // namespace ncn::apps
