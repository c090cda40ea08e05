#include "proxy/injector/certificate_keeper.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "proxy/injector/trust_bundle.h"

namespace outrigger::injector {
namespace {

// From a change of the configuration to its effect in every API server: a second or two.
constexpr absl::Duration kSpread = absl::Seconds(2);
constexpr absl::Duration kLongestSpread = absl::Seconds(30);
constexpr absl::Duration kLookPeriod = absl::Seconds(10);
constexpr absl::Duration kRetryPeriod = absl::Seconds(1);
// Replicas that begin together meet each other.
constexpr int kTries = 6;
constexpr absl::Duration kConflictWait = absl::Milliseconds(40);
constexpr size_t kMaxShownBytes = 300;

std::string Path(const std::string& configuration) {
  return "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/" + configuration;
}

// Aborted: somebody else has changed the object meanwhile.
absl::Status Refused(const ApiCall& call, const ApiAnswer& answer) {
  const std::string_view said = std::string_view(answer.body).substr(0, kMaxShownBytes);
  const std::string text = fmt::format("{} {}: the API server said {} {}", MethodName(call.method),
                                       call.target, answer.status, said);
  return answer.status == 409 ? absl::AbortedError(text) : absl::UnavailableError(text);
}

std::string_view Text(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

}  // namespace

CertificateKeeper::CertificateKeeper(Loop& loop, CallFunction call, tls::ServerContext& context,
                                     log::Logger& log, Options options,
                                     std::function<void()> on_new)
    : loop_(loop),
      call_(std::move(call)),
      context_(context),
      log_(log),
      options_(std::move(options)),
      on_new_(std::move(on_new)) {}

absl::StatusOr<CertificateKeeper::Certificate> CertificateKeeper::Make() const {
  const absl::Time now = loop_.WallNow();
  absl::StatusOr<tls::SelfSigned> made = tls::MakeSelfSigned(
      {.name = options_.replica, .dns = options_.dns, .lifetime = options_.lifetime, .now = now});
  if (!made.ok()) return made.status();
  return Certificate{.made = *std::move(made), .begin = now, .told = std::nullopt};
}

absl::Status CertificateKeeper::Begin() {
  absl::StatusOr<Certificate> made = Make();
  if (!made.ok()) return made.status();
  current_ = *std::move(made);
  return context_.Use(current_->made.own);
}

std::string CertificateKeeper::Problem() const {
  if (!current_->told.has_value()) return problem_;
  if (!HasSpread(*current_, kSpread)) return "the API server was told of the certificate just now";
  return "";
}

bool CertificateKeeper::HasSpread(const Certificate& certificate, absl::Duration wait) const {
  return certificate.told.has_value() && loop_.Now() - *certificate.told >= wait;
}

Task<void> CertificateKeeper::Run() {
  for (;;) {
    MakeNext();
    const absl::Status told = co_await Tell();
    Note(told);
    Advance();
    // Short lives are for tests of this.
    const absl::Duration look = std::min(kLookPeriod, options_.lifetime / 40);
    const bool is_quiet = told.ok() && !next_.has_value();
    const absl::Duration wait = is_quiet ? look : std::min(look, kRetryPeriod);
    co_await loop_.Sleep(wait);
  }
}

void CertificateKeeper::MakeNext() {
  const absl::Time begun_at_latest = loop_.WallNow() - options_.lifetime * 2 / 3;
  // Nobody could be told of it for so long.
  if (next_.has_value() && next_->begin <= begun_at_latest) next_.reset();
  if (next_.has_value() || current_->begin > begun_at_latest) return;
  absl::StatusOr<Certificate> made = Make();
  if (made.ok()) {
    next_ = *std::move(made);
  } else {
    log_.Error("certificate_failed").Str("error", Text(made.status()));
  }
}

void CertificateKeeper::Advance() {
  const absl::Duration wait = std::min(kLongestSpread, options_.lifetime / 20);
  if (!next_.has_value() || !HasSpread(*next_, wait)) return;
  const absl::Status used = context_.Use(next_->made.own);
  if (used.ok()) {
    current_ = std::move(next_);
    log_.Info("certificate_rotated")
        .Str("until", absl::FormatTime(absl::RFC3339_sec, current_->begin + options_.lifetime,
                                       absl::UTCTimeZone()));
    on_new_();
  } else {
    log_.Error("certificate_failed").Str("error", Text(used));
  }
  next_.reset();
}

Task<absl::Status> CertificateKeeper::Tell() {
  for (int i = 1;; ++i) {
    absl::Status status = co_await TellOnce();
    if (!absl::IsAborted(status) || i == kTries) co_return status;
    co_await loop_.Sleep(kConflictWait * i);
  }
}

// Reads the configuration and changes that version of it.
Task<absl::Status> CertificateKeeper::TellOnce() {
  ApiCall get;
  get.target = Path(options_.configuration);
  absl::StatusOr<ApiAnswer> got = co_await call_(get);
  if (!got.ok()) co_return got.status();
  if (got->status != 200) co_return Refused(get, *got);
  const inject::Json configuration =
      inject::Json::parse(got->body, nullptr, /*allow_exceptions=*/false);
  TrustChange change;
  change.replica = options_.replica;
  change.own.push_back(current_->made.pem);
  if (next_.has_value()) change.own.push_back(next_->made.pem);
  change.now = loop_.WallNow();
  absl::StatusOr<std::string> patch = BundlePatch(configuration, change);
  if (!patch.ok()) co_return patch.status();
  if (patch->empty()) co_return absl::OkStatus();

  ApiCall call;
  call.method = http::Method::kPatch;
  call.target = get.target + "?fieldManager=outrigger-injector";
  call.content_type = "application/strategic-merge-patch+json";
  call.body = *std::move(patch);
  absl::StatusOr<ApiAnswer> done = co_await call_(call);
  if (!done.ok()) co_return done.status();
  if (done->status != 200) co_return Refused(call, *done);
  log_.Info("certificate_published").Str("configuration", options_.configuration);
  co_return absl::OkStatus();
}

void CertificateKeeper::Note(const absl::Status& status) {
  if (status.ok()) {
    if (!current_->told.has_value()) current_->told = loop_.Now();
    if (next_.has_value() && !next_->told.has_value()) next_->told = loop_.Now();
    if (has_failed_) log_.Info("certificate_is_published");
  } else if (Text(status) != problem_) {
    log_.Warn("certificate_not_published").Str("error", Text(status));
    problem_ = Text(status);
  }
  has_failed_ = !status.ok();
}

}  // namespace outrigger::injector
