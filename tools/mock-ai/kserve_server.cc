#include "tools/mock-ai/kserve_server.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <thread>
#include <utility>

#include "kserve.grpc.pb.h"

namespace outrigger::mock_ai {
namespace {

using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;

constexpr std::string_view kInput = "text_input";
constexpr std::string_view kOutput = "text_output";
// How soon a call that sleeps notices that its client has gone.
constexpr absl::Duration kNotice = absl::Milliseconds(5);

StatusCode CodeOf(int http_status) {
  switch (http_status) {
    case 400:
      return StatusCode::INVALID_ARGUMENT;
    case 404:
      return StatusCode::NOT_FOUND;
    case 429:
      return StatusCode::RESOURCE_EXHAUSTED;
    case 500:
      return StatusCode::INTERNAL;
    case 503:
      return StatusCode::UNAVAILABLE;
    case 504:
      return StatusCode::DEADLINE_EXCEEDED;
    default:
      return StatusCode::UNKNOWN;
  }
}

Status Cancelled() { return {StatusCode::CANCELLED, "the client has gone"}; }

// False: the call was cancelled meanwhile.
bool Wait(const ServerContext& context, absl::Duration duration) {
  const absl::Time end = absl::Now() + duration;
  for (;;) {
    if (context.IsCancelled()) return false;
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) return true;
    std::this_thread::sleep_for(absl::ToChronoNanoseconds(std::min(left, kNotice)));
  }
}

// Faults that mean something for a call. Others would be ignored silently.
std::string UnknownFault(const FaultPlan& faults) {
  const bool is_known =
      (faults.opening == Opening::kHead || faults.opening == Opening::kStall) &&
      (faults.body == BodyFault::kNone || faults.body == BodyFault::kCut ||
       faults.body == BodyFault::kStall) &&
      !faults.reset_at.has_value() && !faults.early.has_value() && !faults.pace.has_value() &&
      faults.informational.empty() && !faults.closes_silently && !faults.sends_trailers &&
      !faults.is_http10 && !faults.withholds_continue;
  return is_known ? "" : "this fault is one of HTTP/1.1, not of calls";
}

const std::string* Prompt(const inference::ModelInferRequest& request) {
  for (int i = 0; i < request.inputs_size(); ++i) {
    const auto& input = request.inputs(i);
    if (input.name() != kInput || input.datatype() != "BYTES") continue;
    if (input.contents().bytes_contents_size() > 0) return &input.contents().bytes_contents(0);
    // Length-prefixed, as raw tensors of BYTES are.
    if (i < request.raw_input_contents_size()) return &request.raw_input_contents(i);
  }
  return nullptr;
}

void SetText(const inference::ModelInferRequest& request, const std::string& text,
             inference::ModelInferResponse& response) {
  response.set_model_name(request.model_name());
  response.set_model_version("1");
  response.set_id(request.id());
  auto* output = response.add_outputs();
  output->set_name(std::string(kOutput));
  output->set_datatype("BYTES");
  output->add_shape(1);
  output->mutable_contents()->add_bytes_contents(text);
}

}  // namespace

class KserveServer::Impl final : public inference::GRPCInferenceService::Service {
 public:
  explicit Impl(Server& server) : server_(server) {}

  ~Impl() override {
    if (grpc_ == nullptr) return;
    grpc_->Shutdown(std::chrono::system_clock::now());
    grpc_->Wait();
  }

  absl::Status Start(const std::string& address) {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(this);
    grpc_ = builder.BuildAndStart();
    if (grpc_ == nullptr) {
      return absl::UnavailableError(fmt::format("cannot serve gRPC at {}", address));
    }
    const size_t colon = address.rfind(':');
    address_ = address.starts_with("unix:") ? address
                                            : fmt::format("{}:{}", address.substr(0, colon), port);
    return absl::OkStatus();
  }

  const std::string& address() const { return address_; }

 private:
  // One call, from its first message to its end.
  struct Call {
    Request head;
    Exchange exchange;
    TokenOptions tokens;
    uint64_t seed = 0;
    absl::Time began = absl::Now();
  };

  // Runs `task` on the server's loop and waits for it. False: the loop has ended.
  bool OnLoop(const std::function<void(mock_ai::Service&)>& task) {
    std::promise<void> done;
    const bool is_posted = server_.Post([&](mock_ai::Service& service) {
      task(service);
      done.set_value();
    });
    if (is_posted) done.get_future().wait();
    return is_posted;
  }

  Status Open(ServerContext& context, std::string_view method, Call& call) {
    call.head.method = "POST";
    call.head.target = fmt::format("/inference.GRPCInferenceService/{}", method);
    for (const auto& [name, value] : context.client_metadata()) {
      call.head.headers.push_back({{name.data(), name.size()}, {value.data(), value.size()}});
    }
    const bool is_open =
        OnLoop([&](mock_ai::Service& service) { call.exchange = service.Open(call.head); });
    if (!is_open) return {StatusCode::UNAVAILABLE, "the service ends"};
    const FaultPlan& faults = call.exchange.faults;
    for (const Header& header : faults.headers) {
      context.AddTrailingMetadata(header.name, header.value);
    }
    if (!call.exchange.fault_error.empty()) {
      return {StatusCode::INVALID_ARGUMENT, call.exchange.fault_error};
    }
    if (const std::string problem = UnknownFault(faults); !problem.empty()) {
      return {StatusCode::INVALID_ARGUMENT, problem};
    }
    if (!Wait(context, faults.delay)) return Cancelled();
    if (faults.opening == Opening::kStall) {
      Wait(context, absl::InfiniteDuration());
      return Cancelled();
    }
    if (!faults.status.has_value()) return Status::OK;
    if (faults.is_executed) Execute(context, call);
    return {CodeOf(*faults.status), "a fault that was asked for"};
  }

  void Execute(ServerContext& context, Call& call) {
    OnLoop([&](mock_ai::Service& service) {
      call.tokens = service.TokensFor(call.exchange);
      call.seed = service.seed();
      service.Begin(call.head, call.exchange);
    });
    context.AddInitialMetadata("x-mock-id", call.exchange.id);
    context.AddInitialMetadata("x-mock-execution",
                               fmt::format("{}", call.exchange.ticket.execution));
  }

  Status Close(const Call& call, Status status) {
    const Ledger::Outcome outcome = status.ok() ? Ledger::Outcome::kCompleted
                                    : status.error_code() == StatusCode::CANCELLED
                                        ? Ledger::Outcome::kCancelled
                                        : Ledger::Outcome::kBroken;
    OnLoop([&](mock_ai::Service& service) {
      service.Close(call.exchange, outcome, absl::Now() - call.began);
    });
    return status;
  }

  static Generation GenerateFor(const Call& call, const std::string& prompt) {
    return Generate(call.tokens,
                    {.seed = call.seed,
                     .id = call.exchange.id,
                     .execution = call.exchange.ticket.execution,
                     .body = prompt},
                    0);
  }

  Status ServerLive(ServerContext*, const inference::ServerLiveRequest*,
                    inference::ServerLiveResponse* response) override {
    response->set_live(true);
    return Status::OK;
  }

  Status ServerReady(ServerContext*, const inference::ServerReadyRequest*,
                     inference::ServerReadyResponse* response) override {
    response->set_ready(true);
    return Status::OK;
  }

  Status ModelReady(ServerContext*, const inference::ModelReadyRequest*,
                    inference::ModelReadyResponse* response) override {
    response->set_ready(true);
    return Status::OK;
  }

  Status ServerMetadata(ServerContext*, const inference::ServerMetadataRequest*,
                        inference::ServerMetadataResponse* response) override {
    response->set_name("mock-ai");
    response->set_version("2");
    return Status::OK;
  }

  Status ModelMetadata(ServerContext*, const inference::ModelMetadataRequest* request,
                       inference::ModelMetadataResponse* response) override {
    response->set_name(request->name());
    response->add_versions("1");
    response->set_platform("mock");
    const auto describe = [](std::string_view name, auto* tensor) {
      tensor->set_name(std::string(name));
      tensor->set_datatype("BYTES");
      tensor->add_shape(1);
    };
    describe(kInput, response->add_inputs());
    describe(kOutput, response->add_outputs());
    return Status::OK;
  }

  Status ModelInfer(ServerContext* context, const inference::ModelInferRequest* request,
                    inference::ModelInferResponse* response) override {
    const std::string* const prompt = Prompt(*request);
    if (prompt == nullptr) {
      return {StatusCode::INVALID_ARGUMENT, fmt::format("no input {} of BYTES", kInput)};
    }
    Call call;
    const Status refused = Open(*context, "ModelInfer", call);
    if (!refused.ok()) return Close(call, refused);
    Execute(*context, call);
    const Generation generation = GenerateFor(call, *prompt);
    if (!Wait(*context, generation.total_time())) return Close(call, Cancelled());
    SetText(*request, generation.text(), *response);
    return Close(call, Status::OK);
  }

  // Each request gets one answer for each token, in turn.
  Status ModelStreamInfer(
      ServerContext* context,
      grpc::ServerReaderWriter<inference::ModelStreamInferResponse, inference::ModelInferRequest>*
          stream) override {
    Call call;
    const Status refused = Open(*context, "ModelStreamInfer", call);
    if (!refused.ok()) return Close(call, refused);
    Execute(*context, call);
    const FaultPlan& faults = call.exchange.faults;
    uint64_t sent = 0;
    inference::ModelInferRequest request;
    while (stream->Read(&request)) {
      const std::string* const prompt = Prompt(request);
      if (prompt == nullptr) {
        inference::ModelStreamInferResponse wrong;
        wrong.set_error_message(fmt::format("no input {} of BYTES", kInput));
        stream->Write(wrong);
        continue;
      }
      for (const Token& token : GenerateFor(call, *prompt).tokens) {
        if (sent++ == faults.count && faults.body == BodyFault::kCut) {
          return Close(call, {StatusCode::UNAVAILABLE, "a fault that was asked for"});
        }
        const bool stalls = faults.body == BodyFault::kStall && sent > faults.count;
        if (!Wait(*context, stalls ? absl::InfiniteDuration() : token.delay)) {
          return Close(call, Cancelled());
        }
        inference::ModelStreamInferResponse message;
        SetText(request, token.text, *message.mutable_infer_response());
        if (!stream->Write(message)) return Close(call, Cancelled());
      }
    }
    return Close(call, context->IsCancelled() ? Cancelled() : Status::OK);
  }

  Server& server_;
  std::unique_ptr<grpc::Server> grpc_;
  std::string address_;
};

KserveServer::KserveServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KserveServer::~KserveServer() = default;

absl::StatusOr<std::unique_ptr<KserveServer>> KserveServer::Start(const std::string& address,
                                                                  Server& server) {
  auto impl = std::make_unique<Impl>(server);
  if (absl::Status status = impl->Start(address); !status.ok()) return status;
  return std::unique_ptr<KserveServer>(new KserveServer(std::move(impl)));
}

const std::string& KserveServer::address() const { return impl_->address(); }

}  // namespace outrigger::mock_ai
