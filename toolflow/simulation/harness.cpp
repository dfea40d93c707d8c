// SPDX-License-Identifier: Apache-2.0
//
// Runs cascade_top in Verilator: memory behind its three AXI4 masters, a host on its AXI4-Lite slave.
//
//   harness SCRIPT
//
// SCRIPT is lines of words, numbers decimal:
//   memory PATH BYTES          the memory, a file that is mapped; its address 0 is byte 0
//   region FIRST END READ WRITE   addresses that ports may read or write (bit p: port p)
//   latency CYCLES             from a request's acceptance to its first beat or answer
//   rate BEATS CYCLES          all ports together move at most BEATS beats in CYCLES cycles
//   stalls SEED                other than 0: every channel pauses at random, latencies vary
//   limit CYCLES               give up after so many
//   trace                      report every step and wait for a line on standard input
// and then what the host does, in order:
//   write ADDRESS VALUE        a register
//   read ADDRESS               a register, reported
//   wait                       until the interrupt is there
//   pause CYCLES
//   fault PORT KIND COUNT      KIND read or write: the COUNT-th request from now on is answered with
//   decode PORT KIND COUNT     SLVERR, or DECERR
//   silence PORT COUNT         the port stops answering in COUNT cycles
//   calm                       no faults any more; requests are answered
//   heal                       memory works again, but what it was asked is never answered
//   mark TEXT                  reported; waits for a line on standard input
//
// Output lines: "step UNIT INDEX CYCLES IMAGES WORKSPACE NOW", "register ADDRESS VALUE", "mark TEXT",
// "beats PORT READ WRITTEN", "end CYCLES"; "error TEXT" and exit code 1 if the design breaks a rule.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <type_traits>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

namespace {

constexpr int kPorts = 3;
constexpr uint64_t kBlock = 64;  // granularity of the regions
constexpr size_t kQueue = 64;    // requests that a port's memory holds
constexpr uint64_t kPage = 4096;

[[noreturn]] void fail(const std::string &text) {
    std::cout << "error " << text << std::endl;
    std::exit(1);
}

// A beat's words, however Verilator keeps them.
void put(QData &port, const uint8_t *bytes) { std::memcpy(&port, bytes, sizeof port); }
void get(const QData &port, uint8_t *bytes) { std::memcpy(bytes, &port, sizeof port); }
template <std::size_t N> void put(VlWide<N> &port, const uint8_t *bytes) {
    std::memcpy(port.data(), bytes, 4 * N);
}
template <std::size_t N> void get(const VlWide<N> &port, uint8_t *bytes) {
    std::memcpy(bytes, port.data(), 4 * N);
}

struct Region {
    uint64_t first, end;
    int read, write;
};

struct Script {
    std::string memory;
    uint64_t bytes = 0, latency = 0, limit = 0;
    uint64_t rate_beats = 1, rate_cycles = 0;
    uint64_t stalls = 0;
    bool trace = false;
    std::vector<Region> regions;
    std::vector<std::vector<std::string>> actions;
};

Script read_script(const char *path) {
    Script script;
    std::ifstream file(path);
    if (!file) fail(std::string("cannot read ") + path);
    std::string line, word;
    while (std::getline(file, line)) {
        std::istringstream words(line);
        if (!(words >> word)) continue;
        if (word == "memory") words >> script.memory >> script.bytes;
        else if (word == "latency") words >> script.latency;
        else if (word == "rate") words >> script.rate_beats >> script.rate_cycles;
        else if (word == "stalls") words >> script.stalls;
        else if (word == "limit") words >> script.limit;
        else if (word == "trace") script.trace = true;
        else if (word == "region") {
            Region region{};
            words >> region.first >> region.end >> region.read >> region.write;
            script.regions.push_back(region);
        } else {
            std::vector<std::string> action{word};
            while (words >> word) action.push_back(word);
            script.actions.push_back(action);
            continue;
        }
        if (words.fail()) fail("script: " + line);
    }
    return script;
}

class Random {
public:
    explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ull + 1) {}
    uint64_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return state_;
    }
    bool chance(unsigned of_256) { return (next() >> 24 & 255) < of_256; }

private:
    uint64_t state_;
};

// The bytes, and who may touch them.
class Memory {
public:
    explicit Memory(const Script &script) : size_(script.bytes), rights_(size_ / kBlock + 1) {
        int file = open(script.memory.c_str(), O_RDWR);
        if (file < 0) fail("cannot open " + script.memory);
        void *at = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (at == MAP_FAILED) fail("cannot map " + script.memory);
        close(file);
        bytes_ = static_cast<uint8_t *>(at);
        for (const Region &region : script.regions)
            for (uint64_t k = region.first / kBlock; k * kBlock < region.end; k++)
                rights_.at(k) |= region.read | region.write << 4;
    }
    uint8_t *beat(uint64_t address, int port, bool write, uint64_t now) {
        if (address >= size_ || !(rights_[address / kBlock] >> (port + (write ? 4 : 0)) & 1)) {
            std::ostringstream text;
            text << "port " << port << (write ? " wrote " : " read ") << "address " << address
                 << " in cycle " << now << ", which is none of its own";
            fail(text.str());
        }
        return bytes_ + address;
    }

private:
    uint64_t size_;
    uint8_t *bytes_;
    std::vector<uint8_t> rights_;
};

// Beats of all ports together.
class Rate {
public:
    Rate(uint64_t beats, uint64_t cycles) : beats_(beats), cycles_(cycles) {}
    void tick() {
        if (cycles_) credit_ = std::min<int64_t>(credit_ + beats_, int64_t(4 * cycles_));
    }
    bool take() {
        if (!cycles_) return true;
        if (credit_ < int64_t(cycles_)) return false;
        credit_ -= cycles_;
        return true;
    }

private:
    uint64_t beats_, cycles_;
    int64_t credit_ = 0;
};

// One AXI4 port of memory. Data is the type that Verilator gives the data ports.
template <typename Data, typename Strobe> class Port {
public:
    struct Signals {
        CData *arvalid, *arready;
        IData *araddr;
        CData *arlen, *arburst;
        CData *rvalid, *rready, *rlast, *rresp;
        Data *rdata;
        CData *awvalid, *awready;
        IData *awaddr;
        CData *awlen, *awburst;
        CData *wvalid, *wready, *wlast;
        Strobe *wstrb;
        Data *wdata;
        CData *bvalid, *bready, *bresp;
    };

    Port(int index, Signals signals, Memory &memory, Rate &rate, const Script &script)
        : index_(index), s_(signals), memory_(memory), rate_(rate), latency_(script.latency),
          stalls_(script.stalls != 0), random_(script.stalls * kPorts + index) {
        *s_.rresp = 0;
        *s_.bresp = 0;
        pause_ = stalls_ ? unsigned(random_.next() % 160) : 0;
    }

    uint64_t read_beats = 0, written_beats = 0;

    void fault(bool write, unsigned response, uint64_t count) {
        Fault &fault = write ? write_fault_ : read_fault_;
        fault = {response, count};
    }
    void silence(uint64_t from) { silent_from_ = from; }
    void calm() {
        read_fault_ = write_fault_ = {};
        silent_from_ = UINT64_MAX;
    }
    void heal() {
        calm();
        reads_.clear();
        answers_.clear();
        for (Request &request : writes_) request.forgotten = true;
        offered_ = answering_ = false;
    }

    // What happened in the cycle that ends: called with all signals settled.
    void sample(uint64_t now) {
        if (*s_.arvalid && *s_.arready) {
            check(*s_.araddr, *s_.arlen, *s_.arburst);
            reads_.push_back({*s_.araddr, unsigned(*s_.arlen) + 1, now + delay(), strike(read_fault_)});
        }
        if (*s_.rvalid && *s_.rready) {
            read_beats++;
            Request &head = reads_.front();
            head.address += sizeof(Data);
            if (--head.beats == 0) reads_.pop_front();
            offered_ = false;
        }
        if (*s_.awvalid && *s_.awready) {
            check(*s_.awaddr, *s_.awlen, *s_.awburst);
            writes_.push_back({*s_.awaddr, unsigned(*s_.awlen) + 1, 0, strike(write_fault_)});
        }
        if (*s_.wvalid && *s_.wready) {
            written_beats++;
            data_.push_back({});
            Beat &beat = data_.back();
            get(*s_.wdata, beat.bytes);
            beat.strobe = *s_.wstrb;
            beat.last = *s_.wlast;
        }
        if (*s_.bvalid && *s_.bready) {
            answers_.pop_front();
            answering_ = false;
        }
        while (!data_.empty() && !writes_.empty()) write(now);
    }

    // What is offered in the next cycle.
    void drive(uint64_t now) {
        bool silent = now >= silent_from_;
        *s_.arready = !silent && reads_.size() < kQueue && !pause();
        if (!offered_ && !silent && !reads_.empty() && reads_.front().ready <= now && !pause())
            offered_ = rate_.take();
        *s_.rvalid = offered_;
        if (offered_) {
            const Request &head = reads_.front();
            put(*s_.rdata, memory_.beat(head.address, index_, false, now));
            *s_.rlast = head.beats == 1;
            *s_.rresp = head.response;
        }
        *s_.awready = !silent && writes_.size() < kQueue && !pause();
        *s_.wready = !silent && data_.size() < kQueue && !pause()
            && (!*s_.wvalid || rate_.take());
        if (!answering_ && !silent && !answers_.empty() && answers_.front().ready <= now)
            answering_ = !pause();
        *s_.bvalid = answering_;
        if (answering_) *s_.bresp = answers_.front().response;
    }

private:
    struct Request {
        uint64_t address;
        unsigned beats;
        uint64_t ready;
        unsigned response;
        bool forgotten = false;  // its beats are taken, it is not answered
    };
    struct Answer {
        uint64_t ready;
        unsigned response;
    };
    struct Fault {
        unsigned response = 0;
        uint64_t count = 0;
    };
    struct Beat {
        uint8_t bytes[sizeof(Data)];
        uint64_t strobe;
        bool last;
    };

    bool pause() { return stalls_ && random_.chance(pause_); }
    uint64_t delay() { return stalls_ ? random_.next() % (2 * latency_ + 1) : latency_; }

    // The answer to a request, if the fault is for it.
    static unsigned strike(Fault &fault) {
        return fault.count && --fault.count == 0 ? fault.response : 0;
    }

    void check(uint64_t address, unsigned length, unsigned burst) {
        uint64_t end = address + (uint64_t(length) + 1) * sizeof(Data) - 1;
        if (burst != 1 || address % sizeof(Data) || address / kPage != end / kPage)
            fail("port " + std::to_string(index_) + ": a burst that AXI does not allow");
    }

    void write(uint64_t now) {
        Request &head = writes_.front();
        const Beat &beat = data_.front();
        uint8_t *at = memory_.beat(head.address, index_, true, now);
        for (std::size_t k = 0; k < sizeof(Data); k++)
            if (beat.strobe >> k & 1) at[k] = beat.bytes[k];
        head.address += sizeof(Data);
        if (beat.last != (--head.beats == 0)) fail("port " + std::to_string(index_) + ": wlast");
        if (beat.last) {
            if (!head.forgotten) answers_.push_back({now + delay(), head.response});
            writes_.pop_front();
        }
        data_.pop_front();
    }

    int index_;
    Signals s_;
    Memory &memory_;
    Rate &rate_;
    uint64_t latency_;
    bool stalls_;
    Random random_;
    unsigned pause_;
    bool offered_ = false, answering_ = false;
    uint64_t silent_from_ = UINT64_MAX;
    Fault read_fault_, write_fault_;
    std::deque<Request> reads_, writes_;
    std::deque<Beat> data_;
    std::deque<Answer> answers_;
};

#define CASC_PORT(name)                                                                            \
    {                                                                                              \
        &top.m_axi_##name##_arvalid, &top.m_axi_##name##_arready, &top.m_axi_##name##_araddr,      \
            &top.m_axi_##name##_arlen, &top.m_axi_##name##_arburst, &top.m_axi_##name##_rvalid,    \
            &top.m_axi_##name##_rready, &top.m_axi_##name##_rlast, &top.m_axi_##name##_rresp,      \
            &top.m_axi_##name##_rdata, &top.m_axi_##name##_awvalid, &top.m_axi_##name##_awready,   \
            &top.m_axi_##name##_awaddr, &top.m_axi_##name##_awlen, &top.m_axi_##name##_awburst,    \
            &top.m_axi_##name##_wvalid, &top.m_axi_##name##_wready, &top.m_axi_##name##_wlast,     \
            &top.m_axi_##name##_wstrb, &top.m_axi_##name##_wdata, &top.m_axi_##name##_bvalid,      \
            &top.m_axi_##name##_bready, &top.m_axi_##name##_bresp                                  \
    }

class Simulation {
public:
    using Data = std::remove_reference_t<decltype(Vtop::m_axi_lpu_rdata)>;
    using Strobe = std::remove_reference_t<decltype(Vtop::m_axi_lpu_wstrb)>;

    explicit Simulation(const Script &script)
        : script_(script), top(&context_), memory_(script),
          rate_(script.rate_beats, script.rate_cycles) {
        using Axi = Port<Data, Strobe>;
        const typename Axi::Signals signals[kPorts] = {
            CASC_PORT(lpu), CASC_PORT(hpu), CASC_PORT(results)};
        for (int port = 0; port < kPorts; port++)
            ports_.push_back(
                std::make_unique<Axi>(port, signals[port], memory_, rate_, script));
    }

    void run() {
        top.s_axil_awvalid = top.s_axil_wvalid = top.s_axil_arvalid = 0;
        top.s_axil_bready = top.s_axil_rready = 1;
        // Registers hold anything before the first reset: the first clock edge is no rule broken.
        context_.assertOn(false);
        top.rst_ni = 0;
        for (int k = 0; k < 4; k++) cycle();
        context_.assertOn(true);
        top.rst_ni = 1;
        for (const auto &action : script_.actions) act(action);
        for (int port = 0; port < kPorts; port++)
            std::cout << "beats " << port << ' ' << ports_[port]->read_beats << ' '
                      << ports_[port]->written_beats << '\n';
        std::cout << "end " << now_ << std::endl;
        top.final();
    }

private:
    void act(const std::vector<std::string> &action) {
        const std::string &kind = action[0];
        auto number = [&](std::size_t k) -> uint64_t {
            if (k >= action.size()) fail("script: " + kind);
            return std::stoull(action[k]);
        };
        if (kind == "write") write(uint32_t(number(1)), uint32_t(number(2)));
        else if (kind == "read")
            std::cout << "register " << number(1) << ' ' << read(uint32_t(number(1))) << std::endl;
        else if (kind == "wait")
            while (!top.irq_o) cycle();
        else if (kind == "pause")
            for (uint64_t k = number(1); k; k--) cycle();
        else if (kind == "fault" || kind == "decode")
            ports_.at(number(1))->fault(action.at(2) == "write", kind == "fault" ? 2 : 3, number(3));
        else if (kind == "silence") ports_.at(number(1))->silence(now_ + number(2));
        else if (kind == "calm")
            for (auto &port : ports_) port->calm();
        else if (kind == "heal")
            for (auto &port : ports_) port->heal();
        else if (kind == "mark") {
            std::cout << "mark " << action.at(1) << std::endl;
            await();
        } else fail("script: " + kind);
    }

    void cycle() {
        top.clk_i = 0;
        top.eval();
        for (auto &port : ports_) port->sample(now_);
        for (int unit = 0; unit < 2; unit++)
            if (top.step_done_o >> unit & 1) steps_.push_back(unit);
        for (int unit : steps_) report(unit);
        steps_.clear();
        top.clk_i = 1;
        top.eval();
        now_++;
        rate_.tick();
        for (auto &port : ports_) port->drive(now_);
        if (context_.gotFinish()) fail("an assertion of the design failed; see above");
        if (now_ > script_.limit) fail("not done after " + std::to_string(script_.limit) + " cycles");
    }

    // Ports of two units lie side by side in one.
    template <typename Word> static uint32_t half(const Word &word, int unit, int bits) {
        uint64_t all = word;
        return uint32_t(all >> (unit * bits) & ((1ull << bits) - 1));
    }

    void report(int unit) {
        if (!script_.trace) return;
        std::cout << "step " << unit << ' ' << half(top.step_index_o, unit, 16) << ' '
                  << half(top.step_cycles_o, unit, 32) << ' ' << half(top.step_images_o, unit, 8)
                  << ' ' << half(top.step_workspace_o, unit, 32) << ' ' << now_ << std::endl;
        await();
    }

    static void await() {
        std::string line;
        if (!std::getline(std::cin, line)) std::exit(1);
    }

    void write(uint32_t address, uint32_t value) {
        top.s_axil_awaddr = address;
        top.s_axil_wdata = value;
        top.s_axil_wstrb = 15;
        top.s_axil_awvalid = top.s_axil_wvalid = 1;
        bool answered = false;
        while (!answered) {
            top.clk_i = 0;
            top.eval();
            bool address_taken = top.s_axil_awvalid && top.s_axil_awready;
            bool data_taken = top.s_axil_wvalid && top.s_axil_wready;
            answered = top.s_axil_bvalid;
            if (answered && top.s_axil_bresp) fail("register " + std::to_string(address));
            cycle();
            if (address_taken) top.s_axil_awvalid = 0;
            if (data_taken) top.s_axil_wvalid = 0;
        }
    }

    uint32_t read(uint32_t address) {
        top.s_axil_araddr = address;
        top.s_axil_arvalid = 1;
        while (true) {
            top.clk_i = 0;
            top.eval();
            bool taken = top.s_axil_arvalid && top.s_axil_arready;
            bool answered = top.s_axil_rvalid;
            uint32_t value = top.s_axil_rdata;
            if (answered && top.s_axil_rresp) fail("register " + std::to_string(address));
            cycle();
            if (taken) top.s_axil_arvalid = 0;
            if (answered) return value;
        }
    }

    const Script &script_;
    VerilatedContext context_;
    Vtop top;
    Memory memory_;
    Rate rate_;
    std::vector<std::unique_ptr<Port<Data, Strobe>>> ports_;
    std::vector<int> steps_;
    uint64_t now_ = 0;
};

}  // namespace

int main(int argc, char **argv) {
    if (argc < 2) fail("usage: harness SCRIPT");
    const Script script = read_script(argv[1]);
    Simulation(script).run();
    return 0;
}
