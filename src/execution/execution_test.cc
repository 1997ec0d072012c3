#include "execution/execution.h"

#include <functional>

#include "base/fake_clock.h"
#include "execution/deadline_execution.h"
#include "execution/logging_execution.h"
#include "execution/payment_execution.h"
#include "execution/statistics_execution.h"
#include "execution/validating_execution.h"
#include "gtest/gtest.h"
#include "signing/payment.h"

namespace ncn::execution {
namespace {

using inference::FailureKind;
using inference::InferenceRequest;
using inference::InferenceResponse;
using std::chrono::milliseconds;

// Calls a function for every request.
class FunctionExecution final : public Execution {
 public:
  using Function =
      std::function<InferenceResponse(const InferenceRequest&, const ExecutionContext&)>;
  explicit FunctionExecution(Function function) : function_(std::move(function)) {}
  InferenceResponse Execute(const InferenceRequest& request,
                            const ExecutionContext& context) override {
    return function_(request, context);
  }

 private:
  const Function function_;
};

InferenceRequest Request(const char* id = "r1") {
  return {.id = *inference::RequestId::Parse(id),
          .model = *inference::ModelId::Parse("digits"),
          .input = {"input", inference::kOpenInferenceJson}};
}

InferenceResponse Success(const InferenceRequest& request) {
  return {.request_id = request.id,
          .model = request.model,
          .outcome = inference::InferenceResult{.output = {"secret-output", "text/plain"}}};
}

std::unique_ptr<Execution> Succeeding() {
  return std::make_unique<FunctionExecution>(
      [](const InferenceRequest& request, const ExecutionContext&) { return Success(request); });
}

TEST(DeadlineExecutionTest, TakesTheTighterOfTheRequestsAndTheNodesTimeout) {
  base::FakeClock clock;
  base::SteadyTime deadline;
  DeadlineExecution execution(
      std::make_unique<FunctionExecution>(
          [&](const InferenceRequest& request, const ExecutionContext& context) {
            deadline = context.deadline;
            return Success(request);
          }),
      milliseconds(300), clock);
  InferenceRequest request = Request();
  execution.Execute(request, {});
  EXPECT_EQ(deadline, clock.SteadyNow() + milliseconds(300));
  request.timeout = milliseconds(100);
  execution.Execute(request, {});
  EXPECT_EQ(deadline, clock.SteadyNow() + milliseconds(100));
  request.timeout = milliseconds(900);
  execution.Execute(request, {});
  EXPECT_EQ(deadline, clock.SteadyNow() + milliseconds(300));
}

TEST(DeadlineExecutionTest, WaitingCountsAgainstTheTimeout) {
  base::FakeClock clock;
  DeadlineExecution execution(Succeeding(), milliseconds(300), clock);
  const ExecutionContext context{.accepted_at = clock.SteadyNow()};
  clock.Advance(milliseconds(100));
  const InferenceResponse response = execution.Execute(Request(), context);
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response.result().record.steps.front().step, "queue");
  EXPECT_EQ(response.result().record.steps.front().duration, milliseconds(100));
  clock.Advance(milliseconds(200));
  EXPECT_EQ(execution.Execute(Request(), context).failure().kind, FailureKind::kTimeout);
}

TEST(ValidatingExecutionTest, EndsRequestsThatBreakTheLimits) {
  ValidatingExecution execution(Succeeding(), {.input_bytes_max = 10});
  EXPECT_TRUE(execution.Execute(Request(), {}).ok());
  InferenceRequest request = Request();
  request.input.bytes.clear();
  EXPECT_EQ(execution.Execute(request, {}).failure().kind, FailureKind::kInvalidInput);
  request.input.bytes.resize(11);
  EXPECT_EQ(execution.Execute(request, {}).failure().kind, FailureKind::kInputTooLarge);
}

TEST(PaymentExecutionTest, WantsAnAuthorizationForThisVeryRequest) {
  const auto payer = signing::Wallet::Generate();
  PaymentExecution execution(Succeeding());
  InferenceRequest request = Request();
  EXPECT_EQ(execution.Execute(request, {}).failure().kind, FailureKind::kPaymentRequired);
  request.payment = *signing::SignPayment(*payer, request.id, request.model, "1000");
  EXPECT_TRUE(execution.Execute(request, {}).ok());
  InferenceRequest other = Request("r2");
  other.payment = request.payment;
  EXPECT_EQ(execution.Execute(other, {}).failure().kind, FailureKind::kPaymentRequired);
}

TEST(StatisticsExecutionTest, CountsResultsAndFailures) {
  base::FakeClock clock;
  telemetry::ExecutionStatistics statistics(clock);
  StatisticsExecution execution(std::make_unique<FunctionExecution>(
                                    [&](const InferenceRequest& request, const ExecutionContext&) {
                                      clock.Advance(milliseconds(8));
                                      return FailedResponse(request,
                                                            {.kind = FailureKind::kMemoryLimit});
                                    }),
                                statistics, clock);
  execution.Execute(Request(), {});
  EXPECT_EQ(statistics.Snapshot().failures.at("MEMORY_LIMIT"), 1u);
  EXPECT_EQ(statistics.Snapshot().models.at("digits").average(), milliseconds(8));
}

TEST(LoggingExecutionTest, NamesTheRequestButNeitherPayloadNorDetail) {
  for (const bool succeed : {true, false}) {
    LoggingExecution execution(
        std::make_unique<FunctionExecution>([&](const InferenceRequest& request,
                                                const ExecutionContext&) {
          return succeed
                     ? Success(request)
                     : FailedResponse(request, {.message = "it broke", .detail = "secret-detail"});
        }),
        base::Clock::System());
    testing::internal::CaptureStderr();
    execution.Execute(Request("request-7"), {});
    const std::string log = testing::internal::GetCapturedStderr();
    EXPECT_NE(log.find("[request-7]"), std::string::npos) << log;
    EXPECT_EQ(log.find("secret"), std::string::npos) << log;
  }
}

}  // namespace
}  // namespace ncn::execution
